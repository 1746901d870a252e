"""What shows callrec at work: a stand-in PBX, a foreign soft-phone, a guided tour. Not part of the product."""

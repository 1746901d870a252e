"""Recording notices and prompts: wording and audio in immutable versions, verified whenever they are loaded."""

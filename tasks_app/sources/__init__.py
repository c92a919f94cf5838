"""Where quotes come from. No Django in here: a source gets its settings through its constructor."""

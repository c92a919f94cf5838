"""The sources of quotes. They import no Django: a source gets its settings through its constructor."""

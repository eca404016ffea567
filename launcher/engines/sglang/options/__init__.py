"""SGLang's own options: a table of them, and how it is made."""

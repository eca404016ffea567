"""SGLang's own options: a table of them for each version, and how it is made."""

"""As much of the shell as people start servers with: words, quotes, variables, arrays, `cd`.

Nothing is ever run. What only a run could tell (`$(...)`, a variable nobody set) stays marked.
"""

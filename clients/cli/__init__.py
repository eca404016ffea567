"""`python -m clients ask`: one question from a terminal or a pipe."""

"""What a server owes the launcher from its start to its end.

The names of what it shares (`segment_names`), the end of its warm-up (`warm_up`), when it last
gave an answer (`last_output`), and a stop that is seen at once (`prompt_stop`).
"""

"""Why SGLang ends: each module holds the causes of one kind, `table` their order.

A cause's pattern, sentences, remedy and a sample line stand together. May import `engines.causes`
and what lies below it.
"""

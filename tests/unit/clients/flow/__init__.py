"""What a request comes to: empty answers, shapes, demands, what is logged, and the async client."""

"""What of a vLLM that runs is read: phases in its log, processes, answers, metrics."""

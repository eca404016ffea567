"""What of an SGLang that runs is read: phases in its log, processes, answers, metrics."""

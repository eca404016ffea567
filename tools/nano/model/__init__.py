"""What is computed: shape, layers, the draft, greedy answers, the files of the folder."""

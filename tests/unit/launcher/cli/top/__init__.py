"""What `top` shows in a terminal."""

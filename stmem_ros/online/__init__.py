"""What drives a real node from outside: its process, the player, the recorder, the replay."""

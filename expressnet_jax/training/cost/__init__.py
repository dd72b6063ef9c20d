"""What a training step costs: its arithmetic, memory and speed, counted, compiled for a target, or measured."""

"""What the speed of the engine is measured against: hand-written ways, other packages, and the floor."""

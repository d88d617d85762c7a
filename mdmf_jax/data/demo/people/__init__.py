"""Generated people: articulated figures that move, in rooms that say nothing about how."""

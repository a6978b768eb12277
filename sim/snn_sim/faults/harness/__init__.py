"""How faults are flown: scenes, vehicles and the edits of what passes between."""

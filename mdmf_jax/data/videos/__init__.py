"""Where the frames of videos come from, and how they are decoded."""

"""From the frames of a video to the pixels of a clip."""

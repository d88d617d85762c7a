"""An encoder of what moves in a video, with packaged weights."""

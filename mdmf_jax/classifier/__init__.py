"""Parts of `FewShotClassifier`: reading clips, the support set, calibration, windows, files."""

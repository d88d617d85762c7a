"""What can be measured, by name. Importing it loads nothing."""

# "demo" is the small CLIP that comes with this package; the others have OpenAI's sizes.
MODELS = ("vit_b16", "vit_b32", "vit_l14", "rn50", "demo")
DTYPES = ("float32", "bfloat16")
ATTENTIONS = ("auto", "xla", "cudnn")

TARGETS = {
    "encoder": "images through CLIP's image tower",
    "head": "episodes through a method, from features: forward and train step",
    "otam": "pairs of videos through OTAM's alignment: cost, and cost with gradient",
    "train": "frames through a whole train step, from pixels",
    "eval": "test episodes from the features of a test set of HMDB51's size",
    "input": "videos through decoding and the loaders",
    "all": "all of these, in sizes that take some minutes on two cores",
}

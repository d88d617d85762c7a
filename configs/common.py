"""Every setting with its default. Other config files hold differences only.

    python train.py --config=configs/common.py --workdir=runs/mine \
        --config.encoder.path=CLIP_FOLDER --config.data.root=VIDEO_FOLDER

An argument after the file name sets the settings that people change most:
`--config=configs/common.py:shot=5,variant=reference`.
"""

from ml_collections.config_dict import ConfigDict, placeholder

from mdmf_jax.errors import ConfigError

# What may stand after the colon, and the setting it changes.
ARGUMENTS = {
    "variant": "variant",
    "method": "method",
    "matcher": "mdmf.matcher",
    "backbone": "encoder.path",
    "seed": "seed",
    "way": "episode.way",
    "shot": "episode.shot",
}

# Usual folders of the CLIPs, made by `python -m mdmf_jax import CLIP_FILE FOLDER`.
BACKBONES = {"rn50": "weights/clip-rn50", "vit_b16": "weights/clip-vit-b16"}


def get_config(arg: str = "") -> ConfigDict:
    """The default settings. None means: as the variant says."""
    config = ConfigDict()
    config.variant = "corrected"  # or "reference": as the published code
    config.method = "mdmf"  # few-shot method; its options are in the section of its name
    config.seed = 0  # of parameters, episodes, frames, dropout and prompt draws
    config.encoder = _encoder()
    config.data = _data()
    config.episode = _episode()
    config.mdmf = _mdmf()
    config.clip_fsar = _clip_fsar()
    config.otam = _otam()
    config.mean_pool = _mean_pool()
    config.trx = _trx()
    config.cross_transformer = _cross_transformer()
    config.segment_transformer = _segment_transformer()
    config.tuples = _tuples()
    config.zero_shot = _zero_shot()
    config.train = _train()
    config.checkpoint = _checkpoint()
    config.eval = _eval()
    return apply_argument(config, arg)


def apply_argument(config: ConfigDict, arg: str) -> ConfigDict:
    """Sets what an argument such as "shot=5,variant=reference" says.

    Raises:
      ConfigError: an unknown name, or a value of the wrong type.
    """
    for item in filter(None, arg.split(",")):
        name, _, value = item.partition("=")
        if name not in ARGUMENTS or not value:
            known = ", ".join(f"{key}=..." for key in ARGUMENTS)
            raise ConfigError(f"config argument {item!r} is unknown; known: {known}")
        if name == "backbone":
            if value not in BACKBONES:
                known = ", ".join(BACKBONES)
                raise ConfigError(f"config argument {item!r}: {value!r} is unknown; known: {known}")
            value = BACKBONES[value]
        path = ARGUMENTS[name]
        section, _, field = path.rpartition(".")
        target = config[section] if section else config
        kind = type(target[field])
        try:
            target[field] = kind(value)
        except ValueError:
            kind_name = kind.__name__
            raise ConfigError(f"config argument {item!r}: {value!r} is no {kind_name}") from None
    return config


def _encoder() -> ConfigDict:
    encoder = ConfigDict()
    encoder.path = ""  # folder of a CLIP in Hugging Face's layout; "packaged:demo" is the demo's
    encoder.prompt = "a photo of {}"  # {} stands for the class name
    encoder.normalise = placeholder(str)  # "clip" (mean and deviation) or "none" (pixels 0..1)
    encoder.dtype = "float32"  # of the encoder's computation, or "bfloat16"; parameters: float32
    encoder.attention = "auto"  # "xla", "cudnn", or "auto": cuDNN where it works
    return encoder


def _data() -> ConfigDict:
    data = ConfigDict()
    data.dataset = "folders"  # or "demo": generated videos, no download
    data.root = ""  # folder of the videos (demo: where to keep them; "" is the cache folder)
    data.source = "auto"  # or "videos", "frames" (folders of images), "prepared" (shards)
    data.protocol = ""  # name of a folder in splits/; "": the class folders' own names
    data.splits = ""  # folder of the {train,val,test} lists; "": root/{train,val,test}/class
    data.frames = 8  # frames T sampled from each video
    data.resize = 256  # short side in pixels after resizing
    data.crop = 224  # side in pixels of the square crop; the encoder's image size
    data.pipeline = "mdmf"  # or "clip_fsar": squash to a square instead of keeping the aspect
    data.sampling = "ends"  # equally spaced frames; or "segments": one each; or "span"
    data.test_clips = 1  # clips of a test video whose features are averaged
    data.short_videos = placeholder(str)  # of fewer than T frames: "repeat" frames or "drop"
    data.flip = placeholder(bool)  # mirror training videos half of the time
    data.jitter = False  # change the colours of training queries at random
    data.left_right = False  # the classes tell left from right, so mirroring changes them
    data.cache = False  # keep decoded and resized videos in memory
    data.loader = "tfdata"  # or "threads": the same batches without TensorFlow
    data.workers = 8  # threads that decode videos
    data.prompt_order = placeholder(str)  # "by_name" or "reference" (published reader's order)
    return data


def _episode() -> ConfigDict:
    episode = ConfigDict()
    episode.way = 5  # classes W of a training episode
    episode.shot = 1  # support videos K of each class
    episode.queries = 5  # query videos of each class
    return episode


def _mdmf() -> ConfigDict:
    mdmf = ConfigDict()
    mdmf.frames_kept = 4  # frames of a video that vote on its prompt
    mdmf.pps = True  # prompts for queries; without, their text token is zero
    mdmf.pps_at_test = placeholder(str)  # "argmax" or "sample"; training always draws
    mdmf.text_token = placeholder(str)  # compared as text part: "text" or "first_frame"
    mdmf.depth = 1  # layers of a fusion transformer
    mdmf.heads = 8  # its attention heads
    mdmf.hidden = 2048  # its feed-forward width
    mdmf.attention_dropout = 0.2  # dropout on the attention's output
    mdmf.ffn_dropout = 0.05  # dropout in the feed-forward part
    mdmf.tcn_dropout = 0.1  # dropout in the global context network
    mdmf.matcher = "otam"  # or "tuples", with the options of that section
    mdmf.temperature = 0.5  # temperature of the alignment's soft minimum
    mdmf.bidirectional = True  # align query with support and support with query
    mdmf.direction = placeholder(str)  # "local_to_global", "global_to_local", "both"
    mdmf.condition = placeholder(str)  # "text_and_visual", "text", "visual", "none"
    mdmf.teacher_gradient = placeholder(bool)  # distillation trains the teacher as well
    mdmf.reduction = placeholder(str)  # cross entropy's "mean" or "sum" over queries
    mdmf.views = "both"  # or "local", "global", "neither" (ablations)
    mdmf.class_weight = 0.0  # weight of the image-text class loss
    mdmf.query_weight = 1.0  # weight of the queries' cross entropy
    mdmf.distill_weight = 1.0  # weight of the distillation
    return mdmf


def _clip_fsar() -> ConfigDict:
    clip_fsar = ConfigDict()
    clip_fsar.depth = 1  # layers of the fusion transformer
    clip_fsar.heads = 8  # its attention heads
    clip_fsar.hidden = 2048  # its feed-forward width
    clip_fsar.attention_dropout = 0.2  # dropout on the attention's output
    clip_fsar.ffn_dropout = 0.05  # dropout in the feed-forward part
    clip_fsar.temperature = 0.5  # temperature of the alignment's soft minimum
    clip_fsar.bidirectional = True  # align query with support and support with query
    clip_fsar.merge_before = False  # average a class's shots before the transformer, not after
    clip_fsar.at_test = "plain"  # or "text" (no alignment), "combined" (alignment and text)
    clip_fsar.text_coefficient = 0.9  # share of the text in "combined", 0 to 1
    clip_fsar.class_weight = 1.2  # weight of the image-text class loss
    clip_fsar.query_weight = 1.0  # weight of the queries' cross entropy
    clip_fsar.reduction = "mean"  # cross entropy's "mean" or "sum" over videos
    return clip_fsar


def _otam() -> ConfigDict:
    otam = ConfigDict()
    otam.temperature = 0.1  # temperature of the alignment's soft minimum
    otam.bidirectional = True  # align query with support and support with query
    return otam


def _mean_pool() -> ConfigDict:
    mean_pool = ConfigDict()
    mean_pool.metric = "cosine"  # or "squared": minus the squared Euclidean distance
    return mean_pool


def _trx() -> ConfigDict:
    trx = ConfigDict()
    trx.cardinalities = (2, 3)  # sizes of the frame tuples, ascending
    trx.width = 1152  # features of keys and values
    trx.dropout = 0.1  # dropout on the frames with their positions
    trx.reduction = placeholder(str)  # cross entropy's "mean" or "sum" over queries
    return trx


def _cross_transformer() -> ConfigDict:
    cross_transformer = ConfigDict()
    cross_transformer.width = 1024  # features of keys and values
    cross_transformer.scale = placeholder(float)  # factor of the cosines that are its logits
    return cross_transformer


def _segment_transformer() -> ConfigDict:
    segment_transformer = ConfigDict()  # most of its options are in `tuples`
    segment_transformer.reduction = placeholder(str)  # cross entropies' "mean" or "sum"
    return segment_transformer


def _tuples() -> ConfigDict:
    tuples = ConfigDict()  # of segment_transformer, and of mdmf with mdmf.matcher="tuples"
    tuples.levels = (1, 2, 3, 4)  # sizes of the frame tuples, ascending
    tuples.counts = (8, 4, 3, 2)  # how many of each level are compared
    tuples.at_test = "fixed"  # that many, evenly spread; or "complete": all tuples
    tuples.width = 1152  # features of keys and values
    tuples.dropout = 0.1  # dropout on the frames with their positions
    tuples.transport_strength = 1.0  # optimal transport: factor of the costs
    tuples.transport_iterations = 100  # its limit of rounds
    tuples.transport_tolerance = 1e-5  # change of the plan's row sums at which it is done
    tuples.l2_weight = placeholder(float)  # weights of the squared distance, of the optimal
    tuples.transport_weight = placeholder(float)  # transport and of their learned fusion,
    tuples.fusion_weight = placeholder(float)  # in the answer and in the loss
    return tuples


def _zero_shot() -> ConfigDict:
    zero_shot = ConfigDict()
    zero_shot.scale = 100.0  # factor of the cosines; changes the loss, not the predictions
    return zero_shot


def _train() -> ConfigDict:
    train = ConfigDict()
    train.steps = 1250  # optimizer steps; 1250 of 16 episodes are the published 20,000
    train.episodes_per_step = 16  # episodes whose mean loss makes one step
    train.optimizer = "adam"  # or "sgd", without momentum
    train.learning_rate = 1e-5  # after the warm-up
    train.warmup_steps = 0  # steps in which the rate rises in a line from warmup_start
    train.warmup_start = 0.0  # learning rate at the first step of a warm-up
    train.decay_at = ()  # steps from which the rate is multiplied by decay_factor (once more)
    train.decay_factor = 0.1  # what the rate is multiplied by
    train.weight_decay = 0.0  # times the parameter, added to its gradient
    train.no_decay = ()  # regular expressions; parameters whose path matches do not decay
    train.freeze = ()  # regular expressions; parameters whose path matches are not trained
    train.log_every = 10  # steps between two log lines
    train.on_nan = "stop"  # or "skip": leave out steps without a finite loss and gradient
    train.max_skipped = 10  # so many of them at most
    train.validate_every = 125  # steps between two validations, each with a checkpoint
    train.validate_episodes = 500  # episodes of a validation
    train.select = placeholder(str)  # tested in the end: "best" on validation, or "last"
    train.model_devices = 1  # devices that share the large matrices; the rest share episodes
    train.shard_params = False  # divide parameters and moments over the devices of the episodes
    train.micro_batch = 0  # most episodes that a device computes at once; 0: all (more memory)
    train.remat = False  # compute encoder blocks again in the backward pass (less memory)
    train.cached_clips = 0  # features of so many random clips a video, made once; frozen encoder
    return train


def _checkpoint() -> ConfigDict:
    checkpoint = ConfigDict()
    checkpoint.keep = 2  # newest checkpoints to keep, beside the best one
    checkpoint.on_corrupt = "error"  # or "fallback": go on from the one before a damaged one
    return checkpoint


def _eval() -> ConfigDict:
    evaluation = ConfigDict()
    evaluation.split = "test"  # split whose classes are tested in the end
    evaluation.way = 5  # classes of a test episode
    evaluation.shots = (1, 5)  # numbers of support videos to test
    evaluation.queries = 1  # query videos of each class
    evaluation.episodes = 10000  # test episodes
    evaluation.chunk = 50  # episodes computed at once
    evaluation.table_gib = 8.0  # memory for the outputs of videos; more are done in groups
    evaluation.feature_cache = ""  # folder of stored features; "": the cache folder; "off": none
    evaluation.untrained = False  # test the untrained head as well, for comparison
    return evaluation

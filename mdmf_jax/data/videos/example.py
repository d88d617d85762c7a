"""Read one field of a serialised tf.train.Example without TensorFlow.

The wire format is that of protocol buffers: a tag (field number and type) before each value. An
Example holds, nested in each other, Features, entries of a map (name, Feature), and in a Feature
a list of bytes, of floats or of whole numbers.
"""


def bytes_feature(example: bytes, name: bytes) -> memoryview:
    """The first value of the bytes feature `name`.

    Raises:
      ValueError: the example is damaged or has no such feature.
    """
    try:
        for _, features in _fields(memoryview(example), wanted=1):
            for _, entry in _fields(features, wanted=1):
                parts = dict(_fields(entry))
                if parts[1] == name:
                    bytes_list = dict(_fields(parts[2]))[1]
                    return next(_fields(bytes_list, wanted=1))[1]
    except (IndexError, KeyError, StopIteration) as error:
        raise ValueError("the example is damaged") from error
    raise ValueError(f"the example has no feature {name!r}")


def _fields(message: memoryview, wanted: int | None = None):
    """Pairs (number, value) of the fields that hold bytes; others do not occur in them."""
    position, end = 0, len(message)
    while position < end:
        tag, position = _varint(message, position)
        if tag & 7 != 2:
            raise ValueError("the example is damaged")
        length, position = _varint(message, position)
        if position + length > end:
            raise ValueError("the example is damaged")
        if wanted is None or tag >> 3 == wanted:
            yield tag >> 3, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7

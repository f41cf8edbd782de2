"""Load scapy once, before any test module, with the warnings of its import silenced: they are not ours to answer."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import scapy.layers.inet
    import scapy.layers.inet6
    import scapy.layers.l2  # noqa: F401

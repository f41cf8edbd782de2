"""What a packet costs a socket's buffer: `skb->truesize`, as the allocators of Linux 6.18 on x86-64 make it.

A buffer is the packet with its headroom and the shared info, rounded up to the allocator's next size, and the `sk_buff`
itself.  Beyond a page TUN puts the rest into pages.  Measured with SO_MEMINFO, and the same since 6.3 (small head cache).
"""

from __future__ import annotations

SK_BUFF = 256
SHARED_INFO = 320
SMALL_HEAD = 576
_HEADROOM = 64
_XDP_HEADROOM = 256
_LINEAR = 4096 - SHARED_INFO - _HEADROOM
_OUTPUT_ROOM = 31
"""What `__ip_append_data` reserves: the link header's 16 octets and 15 for alignment."""
_MAX_LINEAR_OUTPUT = 16384 - SHARED_INFO


def _allocated(size: int) -> int:
    """`SKB_HEAD_ALIGN` and `kmalloc_size_roundup`."""
    size = (size + 63 & ~63) + SHARED_INFO
    if size <= SMALL_HEAD:
        return SMALL_HEAD
    return max(1024, 1 << (size - 1).bit_length())


def head_truesize(size: int) -> int:
    """A buffer of `size` octets, all in one piece."""
    return _allocated(size) + SK_BUFF


def link_truesize(length: int, frame: int = 0) -> int:
    """A packet of `length` octets that came in over TUN (`tun_alloc_skb`), or over TAP in a frame (`tun_build_skb`)."""
    if built(frame):
        return (frame + _HEADROOM + 63 & ~63) + SHARED_INFO + SK_BUFF
    length = frame or length
    if length <= _LINEAR:
        return head_truesize(_HEADROOM + length)
    pages = -(-(length - _LINEAR) // 4096)
    return head_truesize(_HEADROOM + _LINEAR) + 4096 * pages


def built(frame: int) -> bool:
    """`tun_can_build_skb`: a frame for which one page is enough is put there, and the page's part is the buffer."""
    return frame > 0 and (frame + _HEADROOM + _XDP_HEADROOM + 63 & ~63) + SHARED_INFO <= 4096


def tailroom(length: int, frame: int = 0) -> int:
    """Free octets behind a packet from TUN or TAP, where reassembly puts small fragments."""
    if built(frame):
        return (frame + _HEADROOM + 63 & ~63) - _HEADROOM - frame
    length = frame or length
    if length > _LINEAR:
        return 0
    return _allocated(_HEADROOM + length) - SHARED_INFO - _HEADROOM - length


def sent_truesize(length: int) -> int:
    """An IP packet of `length` octets that `__ip_append_data` made; also when it loops back."""
    if length + _OUTPUT_ROOM < _MAX_LINEAR_OUTPUT:
        return head_truesize(length + _OUTPUT_ROOM)
    return head_truesize(28 + _OUTPUT_ROOM) + length - 28

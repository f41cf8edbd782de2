"""What a packet costs a socket's buffer: `skb->truesize`, as the allocators of Linux on x86-64 make it.

A buffer is the packet with its headroom and the shared info, rounded up to the allocator's next size, and the `sk_buff`
itself.  Beyond a page TUN puts the rest into pages.  Measured with SO_MEMINFO, and the same since 6.3 (small head cache).

How large the smallest buffer is hangs on how much room the kernel was built to leave for headers (`MAX_HEADER`: tunnels,
wireless meshes), so distributions differ; receive windows follow it.
"""

from __future__ import annotations

from typing import NamedTuple

SK_BUFF = 256
SHARED_INFO = 320
SMALL_HEAD = 576
"""`SKB_SMALL_HEAD_CACHE_SIZE` of a kernel without tunnels and meshes."""
_PAD = 64
"""NET_SKB_PAD: what a buffer has before a packet from the link."""
_XDP_HEADROOM = 256
_LINEAR = 4096 - SHARED_INFO - _PAD
_OUTPUT_ROOM = 31
"""What `__ip_append_data` reserves: the link header's 16 octets and 15 for alignment."""
_MAX_LINEAR_OUTPUT = 16384 - SHARED_INFO


def built(frame: int) -> bool:
    """`tun_can_build_skb`: a frame for which one page is enough is put there, and the page's part is the buffer."""
    return frame > 0 and (frame + _PAD + _XDP_HEADROOM + 63 & ~63) + SHARED_INFO <= 4096


class Buffers(NamedTuple):
    """The kernel's buffers; lengths are octets."""

    small_head: int = SMALL_HEAD

    @property
    def empty(self) -> int:
        """A buffer with nothing in it."""
        return SK_BUFF + self.small_head

    @property
    def max_tcp_header(self) -> int:
        """MAX_TCP_HEADER, 192 at least; since 6.3 the smallest buffer has this, and 64 octets more."""
        return max(192, self.small_head - SHARED_INFO - _PAD)

    def head(self, size: int) -> int:
        """A buffer of `size` octets, all in one piece."""
        return self._allocated(size) + SK_BUFF

    def link(self, length: int, frame: int = 0) -> int:
        """A packet of `length` octets that came in over TUN (`tun_alloc_skb`), or over TAP in a frame (`tun_build_skb`)."""
        if built(frame):
            return (frame + _PAD + 63 & ~63) + SHARED_INFO + SK_BUFF
        length = frame or length
        if length <= _LINEAR:
            return self.head(_PAD + length)
        pages = -(-(length - _LINEAR) // 4096)
        return self.head(_PAD + _LINEAR) + 4096 * pages

    def tailroom(self, length: int, frame: int = 0) -> int:
        """Free octets behind a packet from TUN or TAP, where reassembly puts small fragments."""
        if built(frame):
            return (frame + _PAD + 63 & ~63) - _PAD - frame
        length = frame or length
        if length > _LINEAR:
            return 0
        return self._allocated(_PAD + length) - SHARED_INFO - _PAD - length

    def sent(self, length: int) -> int:
        """An IP packet of `length` octets that `__ip_append_data` made; also when it loops back."""
        if length + _OUTPUT_ROOM < _MAX_LINEAR_OUTPUT:
            return self.head(length + _OUTPUT_ROOM)
        return self.head(28 + _OUTPUT_ROOM) + length - 28

    def _allocated(self, size: int) -> int:
        """`SKB_HEAD_ALIGN` and `kmalloc_size_roundup`."""
        size = (size + 63 & ~63) + SHARED_INFO
        if size <= self.small_head:
            return self.small_head
        return max(1024, 1 << (size - 1).bit_length())

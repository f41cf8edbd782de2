"""Linux in virtual time: a user-mode kernel whose clock stands still while it works and jumps to the next timer when it
sleeps.

It is the real network stack, in a process of ours, without root and without a device of the host's: the TUN is the
guest's own.  `sockdiff uml build` makes the kernel from Debian's source and the patches here (docs/uml.md says why
each); the target `uml` boots it and runs programs in it.

places      where kernels lie                    tools      what building needs, and what is missing
sources     from a package to a patched tree     build      configuring and compiling, resumably
boot        one running guest                    target     the target: programs in, traces out
guest       what runs inside                     virtual    the worker's runner where time is virtual
commands    `sockdiff uml`                       steps      running other programs for minutes
blocks      what code there is to reach          elf        reading the kernel's image for that
reach       what a run reached, in words
stock       a stock kernel under qemu            initramfs  what it boots from: this Python and the worker
stock_guest what runs inside that

The guest imports this package too, so nothing is imported here.
"""

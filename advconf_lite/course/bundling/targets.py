"""The machines that a bundle is for: a platform and a Python, with the wheels that fit them and their markers' values."""

from __future__ import annotations

from dataclasses import dataclass

PYTHONS = ("3.10", "3.11", "3.12", "3.13")


@dataclass(frozen=True)
class Platform:
    """A kind of machine.

    Attributes:
        title: in words, with the oldest system that the wheels run on.
        tags: wheels' platform tags that fit it, best first; pip adds those of older macOS.
        markers: os_name, sys_platform, platform_system, platform_machine.
    """

    title: str
    tags: tuple[str, ...]
    markers: tuple[str, str, str, str]

    @property
    def is_linux(self) -> bool:
        return self.markers[1] == "linux"


def _manylinux(machine: str) -> tuple[str, ...]:
    # pip takes a manylinux tag for itself alone. 2.28 is the glibc that PyTorch asks for: Debian 10, Ubuntu 20.04, RHEL 8.
    old = ("manylinux2014", "manylinux2010", "manylinux1", "linux")
    return (*(f"manylinux_2_{minor}_{machine}" for minor in range(28, 4, -1)), *(f"{name}_{machine}" for name in old))


PLATFORMS = {
    "linux": Platform("Linux on Intel and AMD, glibc 2.28", _manylinux("x86_64"), ("posix", "linux", "Linux", "x86_64")),
    "windows": Platform("Windows 10 or 11 on Intel and AMD", ("win_amd64",), ("nt", "win32", "Windows", "AMD64")),
    "macos": Platform("macOS 14 on Apple's own chips", ("macosx_14_0_arm64",), ("posix", "darwin", "Darwin", "arm64")),
    "linux-arm": Platform("Linux on ARM, glibc 2.28", _manylinux("aarch64"), ("posix", "linux", "Linux", "aarch64")),
    "macos-intel": Platform("macOS 14 on Intel", ("macosx_14_0_x86_64",), ("posix", "darwin", "Darwin", "x86_64")),
}
USUAL = ("linux", "windows", "macos")


@dataclass(frozen=True)
class Target:
    """A platform of `PLATFORMS` with a Python, such as "3.12"."""

    platform: str
    python: str

    def __str__(self) -> str:
        return f"{self.platform} {self.python}"

    @property
    def kind(self) -> Platform:
        return PLATFORMS[self.platform]

    def options(self) -> list[str]:
        """Of pip, for wheels that fit this machine and not the one that runs pip."""
        tags = [word for tag in self.kind.tags for word in ("--platform", tag)]
        return [*tags, "--python-version", self.python, "--only-binary=:all:"]

    def environment(self) -> dict[str, str]:
        """Values of the markers of requirements, for the first release of this Python: later ones need no more."""
        names = ("os_name", "sys_platform", "platform_system", "platform_machine")
        return dict(zip(names, self.kind.markers)) | {
            "platform_release": "",
            "platform_version": "",
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "platform_python_implementation": "CPython",
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
        }

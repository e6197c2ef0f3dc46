"""The proxy that a request goes through: what goes wrong there, nobody finds who does not know of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies, select_proxy

from data_download.fetching.address import without_password


@dataclass(frozen=True)
class Proxy:
    """Its address without the password, and the variable that names it."""

    address: str
    variable: str

    @property
    def advice(self) -> str:
        """Half a sentence."""
        return f"correct {self.variable}, or unset it if no proxy is needed"

    def __str__(self) -> str:
        return f"the proxy {self.address} (of {self.variable})"


def proxy_of(url: str) -> Proxy | None:
    """The proxy that requests asks for `url`; None if it asks the server itself."""
    address = select_proxy(url, get_environ_proxies(url, no_proxy=None))
    if not address:
        return None
    scheme = urlsplit(url).scheme.lower()
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    variable = next((name for name in names if os.environ.get(name) == address), "the settings of this system")
    return Proxy(without_password(address if "//" in address else f"http://{address}"), variable)

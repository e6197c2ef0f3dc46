"""Other addresses than the publisher's, and what stands on the way: --url, servers that pack, proxies, certificates."""

import gzip
import io
import os
import tarfile
import zlib

import pytest
from bad_server import PAYLOAD, STOP, fail, page, running, serve

from advconf_lite.support.errors import BadInput
from data_download.__main__ import main
from data_download.fetching.address import refuse_bad_address, without_password
from data_download.fetching.archive import damage
from data_download.fetching.download import download
from data_download.sets import FETCHED


@pytest.fixture
def site(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with running() as server:
        yield server


def get(site, folder, url=None, **how):
    how = {"sleep": lambda seconds: None, "timeout": (2.0, 2.0), "attempts": 3, **how}
    return download(url or site.url, folder / "data.zip", damage, **how)


def refused(*words, **how):
    with pytest.raises(BadInput) as caught:
        get(**how)
    sentence = str(caught.value)
    assert "\n" not in sentence and all(word in sentence for word in words), sentence
    return sentence


# ---- --url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:8000/x.zip", ["does not begin with http", "give --url http://127.0.0.1:8000/x.zip"]),
        ("localhost:8000/x.zip", ["does not begin with http", "give --url http://localhost:8000/x.zip"]),
        ("www.example.org/x.zip", ["does not begin with http", "give --url http://www.example.org/x.zip"]),
        ("https//example.org/x.zip", ["does not begin with http", "give --url https://example.org/x.zip"]),
        ("http:/example.org/x.zip", ["give --url https://example.org/x.zip"]),
        ("/home/me/x.zip", ["is a file of this machine", "put the file at OUT/a.zip", "without --url"]),
        ("~/x.zip", ["is a file of this machine", "put the file at OUT/a.zip"]),
        ("./x.zip", ["is a file of this machine"]),
        ("C:\\data\\x.zip", ["is a file of this machine"]),
        ("\\\\server\\share\\x.zip", ["is a file of this machine"]),
        ("file:///home/me/x%20y.zip", ["is a file of this machine (x y.zip)", "put the file at"]),
        ("ftp://example.org/x.zip", ["begins with ftp://", "another program", "put the file at OUT/a.zip"]),
        ("s3://bucket/x.zip", ["begins with s3://", "another program"]),
        ("htp://example.org/x.zip", ["begins with htp://", "only http:// and https:// can be asked"]),
        ("", ["is empty"]),
        ("http://", ["names no server"]),
        ("https:///x.zip", ["names no server"]),
        ("http://example.org/my file.zip", ["holds a space", "%20"]),
        ("http://[::1/x.zip", ["is no address"]),
        ("http://example.org:port/x.zip", ["is no address"]),
        ("ftp://me:secret@example.org/x", ["ftp://me:***@example.org"]),
    ],
)
def test_every_wrong_form_is_answered_with_the_right_one(url, words, tmp_path, capsys):
    with pytest.raises(BadInput) as caught:
        refuse_bad_address(url, tmp_path / "OUT" / "a.zip")
    sentence = str(caught.value).replace(f"{tmp_path}/", "")
    assert all(word in sentence for word in words) and "secret" not in sentence, sentence
    assert main(["fetch", "pmri", "--accept-terms", "--out", str(tmp_path / "OUT"), "--url", url]) == 2
    assert "drive.google" not in capsys.readouterr().err and not (tmp_path / "OUT").exists()


@pytest.mark.parametrize("around", ["<{}>", '"{}"', " {}\n"])
def test_what_was_copied_along_with_an_address_is_left_away(site, tmp_path, around):
    url = around.format(site.url)
    assert main(["fetch", "pmri", "--accept-terms", "--out", str(tmp_path), "--url", url]) == 0


@pytest.mark.parametrize("url", ["http://a/x", "HTTPS://user:pw@a.org:8443/x.zip?y=1", "http://[::1]:80/x"])
def test_right_forms_pass(url, tmp_path):
    refuse_bad_address(url, tmp_path)


def test_passwords_are_not_shown():
    assert without_password("http://me:pass@host:1/x") == "http://me:***@host:1/x"
    assert without_password("http://host:80/a:b@c") == "http://host:80/a:b@c"


@pytest.mark.parametrize("answer", [fail(403), page("Sign in"), fail(200, b"{}"), fail(404)])
def test_a_mirrors_fault_is_not_answered_with_the_publishers_troubles(site, tmp_path, capsys, answer):
    site.plan = [answer]
    assert main(["fetch", "pmri", "--accept-terms", "--out", str(tmp_path), "--url", site.url]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "Google" not in last and "check --url" in last and str(tmp_path / FETCHED["pmri"].source.archive) in last


# ---- servers that pack


def tar_of(size=300_000):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        info = tarfile.TarInfo("top/case.nii")
        info.size = size
        packed.addfile(info, io.BytesIO(os.urandom(size)))
    return buffer.getvalue()


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKED = {
    "zip as gzip": (gzip.compress(PAYLOAD), "gzip", PAYLOAD),
    "zip as x-gzip in two members": (gzip.compress(PAYLOAD[:9000]) + gzip.compress(PAYLOAD[9000:]), "x-gzip", PAYLOAD),
    "zip as zlib": (zlib.compress(PAYLOAD), "deflate", PAYLOAD),
    "zip as deflate": (raw_deflate(PAYLOAD), "deflate", PAYLOAD),
    "zip that is called packed": (PAYLOAD, "gzip", PAYLOAD),
    "zip that is called br": (PAYLOAD, "br", PAYLOAD),
    "not at all": (PAYLOAD, "identity", PAYLOAD),
}


@pytest.mark.parametrize("how", PACKED)
def test_what_a_server_packs_on_the_way_comes_out_whole(site, tmp_path, how):
    body, encoding, expected = PACKED[how]
    headers = [("Content-Encoding", encoding)]
    site.plan = [serve(body, stop=STOP, headers=headers), serve(body, headers=headers)]
    get(site, tmp_path)
    assert (tmp_path / "data.zip").read_bytes() == expected and os.listdir(tmp_path) == ["data.zip"]
    assert len(site.requests) == 2 and site.requests[1][1]["Range"] == f"bytes={STOP}-"  # it went on in the packed bytes


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", None])
def test_a_packed_tar_that_a_server_calls_a_packing_stays_as_it_is(site, tmp_path, encoding):
    body = gzip.compress(tar_of())
    headers = [("Content-Encoding", encoding)] if encoding else []
    site.plan = [serve(body, stop=STOP, headers=headers), serve(body, headers=headers)]
    get(site, tmp_path)
    assert (tmp_path / "data.zip").read_bytes() == body and len(site.requests) == 2


def test_a_plain_tar_may_be_packed_on_the_way_as_deflate(site, tmp_path):
    body = tar_of()
    site.plan = [serve(zlib.compress(body), headers=[("Content-Encoding", "deflate")])]
    get(site, tmp_path)
    assert (tmp_path / "data.zip").read_bytes() == body


def test_packed_bytes_that_are_damaged_are_one_sentence_and_the_next_run_starts_clean(site, tmp_path):
    body = bytearray(gzip.compress(PAYLOAD))
    body[-6] ^= 0xFF
    site.plan = [serve(bytes(body), headers=[("Content-Encoding", "gzip")])]
    refused("its packing (gzip) is damaged", "kept as", site=site, folder=tmp_path)
    assert os.listdir(tmp_path) == ["data.zip.bad"]
    get(site, tmp_path)
    assert (tmp_path / "data.zip").read_bytes() == PAYLOAD


def test_packed_pages_are_read_and_unknown_packings_named(site, tmp_path):
    html = gzip.compress(b"<html><title>Sign in</title>" + b"x" * 5000)
    site.plan = [fail(200, html, Content_Encoding="gzip"), fail(200, b"\x8b\x02\x80abc" * 300, Content_Encoding="br")]
    refused("a web page ('Sign in')", site=site, folder=tmp_path)
    refused("Content-Encoding: br", "Python lacks", site=site, folder=tmp_path)
    assert not os.listdir(tmp_path)


# ---- proxies


@pytest.fixture
def through(site, monkeypatch):
    """Sets a proxy variable; the site is the proxy unless an address is given."""

    def setting(variable, address=None):
        monkeypatch.setenv(variable, address or site.url.removesuffix("/data.zip").replace("//", "//me:secret@"))

    return setting


@pytest.mark.parametrize(
    ("url", "variable"),
    [("http://example.org/x.zip", "http_proxy"), ("https://example.org/x.zip", "HTTPS_PROXY"),
     ("https://example.org/x.zip", "all_proxy"), ("http://example.org/x.zip", "ALL_PROXY")],
)  # fmt: skip
def test_a_proxy_that_wants_a_password_is_named_and_asked_once(site, tmp_path, through, url, variable):
    through(variable)
    site.plan = [fail(407, Proxy_Authenticate='Basic realm="campus"')] * 9
    words = ("407", "http://me:***@127.0.0.1", variable, "USER:PASSWORD@HOST:PORT")
    assert "secret" not in refused(*words, site=site, folder=tmp_path, url=url)
    assert len(site.requests) == 1


@pytest.mark.parametrize("url", ["http://example.org/x.zip", "https://example.org/x.zip"])
def test_a_proxy_that_is_down_is_named(site, tmp_path, through, url):
    through("all_proxy", "http://me:secret@127.0.0.1:9")
    words = ("no connection through the proxy http://me:***@127.0.0.1:9", "correct all_proxy, or unset it", "3 times")
    assert "secret" not in refused(*words, site=site, folder=tmp_path, url=url)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "socks5://127.0.0.1:9", "http://", "ftp://127.0.0.1:9", "http://a b:x"])
def test_odd_addresses_of_proxies_end_in_a_sentence_that_names_the_variable(site, tmp_path, through, address):
    through("HTTP_PROXY", address)
    refused("HTTP_PROXY", site=site, folder=tmp_path, url="http://example.org/x.zip")


@pytest.mark.parametrize("status", [502, 503, 403])
def test_what_a_proxy_answers_is_told_to_come_through_it(site, tmp_path, through, status):
    through("http_proxy")
    site.plan = [fail(status)] * 9
    refused(str(status), "through the proxy", "http_proxy", site=site, folder=tmp_path, url="http://example.org/x.zip")


def test_a_server_that_is_excepted_from_the_proxy_is_asked_itself(site, tmp_path, through, monkeypatch):
    through("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    get(site, tmp_path)
    assert (tmp_path / "data.zip").read_bytes() == PAYLOAD


# ---- certificates


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_of_certificates_that_is_not_there_is_named(site, tmp_path, monkeypatch, variable):
    monkeypatch.setenv(variable, str(tmp_path / "gone.pem"))
    refused(
        "gone.pem", "correct the variable REQUESTS_CA_BUNDLE", site=site, folder=tmp_path, url="https://127.0.0.1:9/x.zip"
    )


@pytest.mark.parametrize(
    "url", ["http://.example.org/x.zip", f"http://{'a' * 70}.org/x.zip", "http://exa mple/x", "http:///x"]
)
def test_names_that_no_server_can_have(site, tmp_path, url):
    refused("; download it in a browser", site=site, folder=tmp_path, url=url)

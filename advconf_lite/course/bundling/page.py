"""INSTALL.html of a bundle: one page on how to install with the network off, for whom it is, and what lacks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from advconf_lite.course.bundling.targets import PLATFORMS, Target
from advconf_lite.support.command_line import PACKAGE

STYLE = """
:root { color-scheme: light dark }
body { font: 17px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 1rem auto; padding: 0 1rem }
pre { padding: .6rem .8rem; background: #8882; overflow-x: auto; border-radius: .3rem; font-size: 15px }
table { border-collapse: collapse } th, td { border: 1px solid #8888; padding: .3rem .6rem; text-align: left }
"""

UNIX = """python3 -m venv ~/advconf
~/advconf/bin/python -m pip install --no-index --find-links wheels "{package}[{extras}]"
mkdir ~/advconf-course
cp -R notebooks docs ~/advconf-course
cd ~/advconf-course
~/advconf/bin/jupyter lab notebooks/student/00_start_here.ipynb"""

WINDOWS = r"""py -m venv $HOME\advconf
& $HOME\advconf\Scripts\python -m pip install --no-index --find-links wheels "{package}[{extras}]"
mkdir $HOME\advconf-course
Copy-Item -Recurse notebooks, docs $HOME\advconf-course
cd $HOME\advconf-course
& $HOME\advconf\Scripts\jupyter lab notebooks\student\00_start_here.ipynb"""


def install_page(version: str, commit: str, extras: str, megabytes: dict[Target, float], lacks: dict[Target, str]) -> str:
    """The page as HTML, which loads nothing.

    Args:
        megabytes: what each machine that the bundle is for installs from.
        lacks: machines that were asked for and are not in it, and why.
    """
    names = {"package": PACKAGE, "extras": extras}
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Install {PACKAGE} without a network</title><style>{STYLE}</style></head><body>
<h1>Install {PACKAGE} without a network</h1>
<p>All that the course needs is in this folder, but Python itself.
Version {escape(version)}, commit {escape(commit[:12])}.</p>
<h2>1. Is there a Python for it?</h2>
<p><code>python3 --version</code> (Windows: <code>py --list</code>) says which you have; MB are those of the wheels.</p>
{_table([*megabytes, *lacks], megabytes, lacks)}
<p>On Debian and Ubuntu Python's <code>venv</code> module is a package of its own: <code>python3-venv</code>. Where another
Python comes first, name one: <code>python3.12 -m venv</code>, <code>py -3.12 -m venv</code>.</p>
<h2>2. Install</h2>
<p><b>Linux and macOS</b>: a terminal in this folder.</p>
<pre>{escape(UNIX.format(**names))}</pre>
<p><b>Windows</b>: PowerShell in this folder (Shift and right click, "Open PowerShell window here").</p>
<pre>{escape(WINDOWS.format(**names))}</pre>
<p>The last line opens lesson 00. The next time, the last two lines are enough.</p>
<h2>3. Does it work?</h2>
<pre>~/advconf/bin/python -m advconf_lite check                    # Linux, macOS
&amp; $HOME\\advconf\\Scripts\\python -m advconf_lite check          # Windows</pre>
<h2>What is in this folder</h2>
<table>
<tr><td><a href="course/index.html">course/</a></td>
<td>the lessons as pages with their figures, for whoever cannot install</td></tr>
<tr><td>notebooks/student/</td><td>the lessons with stubs to fill in</td></tr>
<tr><td>notebooks/</td>
<td>the lessons with solutions, and <a href="notebooks/TEACHING.md">TEACHING.md</a> for who teaches</td></tr>
<tr><td>docs/</td><td>pages that the lessons link to</td></tr>
<tr><td>wheels/</td><td>packages; in ours are the trained networks, too</td></tr>
<tr><td>check.py, SHA256SUMS</td><td><code>python3 check.py</code> (Windows: <code>py check.py</code>) says whether all
files were copied whole; so do <code>sha256sum -c SHA256SUMS</code> and <code>shasum -a 256 -c SHA256SUMS</code></td></tr>
</table>
<p>Without a network everything runs but <code>python -m data_download fetch</code>, which downloads data sets.</p>
</body></html>
"""


def _table(targets: Sequence[Target], megabytes: dict[Target, float], lacks: dict[Target, str]) -> str:
    pythons = sorted({each.python for each in targets}, key=lambda python: int(python.split(".")[1]))
    rows = ["<tr><th></th>" + "".join(f"<th>Python {python}</th>" for python in pythons) + "</tr>"]
    for name in dict.fromkeys(each.platform for each in targets):
        here = [Target(name, python) for python in pythons]
        cells = [f"{megabytes[each]:.0f} MB" if each in megabytes else "lacks" if each in lacks else "" for each in here]
        title = escape(PLATFORMS[name].title)
        rows.append(f"<tr><th>{title}</th>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    reasons: dict[str, list[Target]] = {}
    for each, why in lacks.items():
        reasons.setdefault(why, []).append(each)
    said = [f"<li>{escape(', '.join(map(str, each)))}: {escape(why)}</li>" for why, each in reasons.items()]
    return f"<table>{''.join(rows)}</table>" + (f"<p>What lacks, and why:</p><ul>{''.join(said)}</ul>" if said else "")

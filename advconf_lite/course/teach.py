"""What a lesson imports to teach: from advconf_lite.course.teach import check, explore, guess, reveal, ..."""

from advconf_lite.course.answers import check, choose, mine_or_ours
from advconf_lite.course.explore import Slider, explore
from advconf_lite.course.guesses import guess, reveal
from advconf_lite.course.scorecard import scorecard
from advconf_lite.course.verdict import verdict

__all__ = ["Slider", "check", "choose", "explore", "guess", "mine_or_ours", "reveal", "scorecard", "verdict"]

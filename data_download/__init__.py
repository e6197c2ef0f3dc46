"""Real data sets, prepared as slice sets: `python -m data_download {list,fetch,prepare,verify}`."""

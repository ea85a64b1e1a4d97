"""The explorer: a run as one page for a browser.

`python -m experiments.explore RUN` writes it, and so does `grok.py --explore`. `measuring` says what the page knows of
a run, `charts` draws what Bokeh draws, and explore.html, explore.css and explore.js are the page itself.
"""

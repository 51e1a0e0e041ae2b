"""Measuring: what the machine can do, how fast trainings are on it, here and in other libraries.

Read by ``fusednet bench`` (cli/_bench.py) and by the scripts in the repository's bench/. Nothing of fusednet reads it.

a) `workers/` is no package but a folder of scripts: its files run in environments that have no fusednet, and import
   each other by their bare names.
b) Measuring (ceilings.py, training.py, peers.py), keeping (results.py) and showing (page.py, chart.py) are modules of
   their own, so that what was measured once can be shown again.
"""

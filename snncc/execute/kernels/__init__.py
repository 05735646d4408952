"""The loops in which the executor's time goes: products, neurons, pools.

Every product kernel computes the same integers; which one runs is a matter of speed.
"""

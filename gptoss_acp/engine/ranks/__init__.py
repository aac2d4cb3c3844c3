"""Several processes, on one machine or more, that compute one model together: each a rank of MLX's distributed engine.

Every rank runs the same scheduler on its part of the weights, step for step. Rank 0 decides what hangs on a clock or
on people, and tells the others in the order in which it does it itself; what hangs on a rank's own memory or disk is
agreed on by all, where it is asked for.
"""

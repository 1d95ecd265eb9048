"""Whether a method means the same through every protocol, and as a job.

A method is called with the same generated values in-process and through each door of a
server of its own; results have to be equal after what their type says, errors to be
told alike. `differences` lists what protocols force to be otherwise.
"""

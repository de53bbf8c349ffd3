"""The front: HAProxy on the port that callers know, before several replicas of the gateway.

A replica that dies under a request fails nobody: the request goes to another, with the same ``x-request-id``.
``python -m mlops.serving.front`` runs it; :mod:`mlops.serving.front.client` steers it.
"""

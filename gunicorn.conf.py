"""gunicorn reads this file in the folder where it is started. Other options: see docs/operations.md."""

# Nothing uses the socket, and it would lie in a folder that the unit and the container may not write to.
control_socket_disable = True
logger_class = "collector_site.gunicorn_logs.Logger"
# With --access-logfile -: the application itself logs what is refused or changes something.
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(B)s bytes %(M)s ms request_id=%({x-request-id}o)s'

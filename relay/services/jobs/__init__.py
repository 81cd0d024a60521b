"""Long work: jobs that go on while nobody waits, and after a restart of the relay."""

from relay.services.jobs.orders import AnalyzeJob, Order, url_of
from relay.services.jobs.orders import check as check_order
from relay.services.jobs.service import Jobs
from relay.services.jobs.submit import Accepted, Upload

__all__ = ["Accepted", "AnalyzeJob", "Jobs", "Order", "Upload", "check_order", "url_of"]

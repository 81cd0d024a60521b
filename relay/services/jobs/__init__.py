"""Long work: jobs that go on while nobody waits, and after a restart of the relay."""

from relay.services.jobs.service import Jobs
from relay.services.jobs.submit import Upload

__all__ = ["Jobs", "Upload"]

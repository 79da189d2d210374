"""Two tenants with the same addresses, up and running."""

from rig.clients import curl_json
from rig.servers import make_certificate
from rig.wait import until


class Pair:
    """`alpha` and `beta`: tenants, of which each has `.only` (its machine), `.server`, `.certificate`, and
    the host names git.NAME.example and *.apps.NAME.example over both schemes."""

    def __init__(self, lab, daemon, directory):
        self.lab = lab
        self.daemon = daemon
        self.alpha = self._tenant(51820, "alpha", directory)
        self.beta = self._tenant(51821, "beta", directory)
        self.tenants = (self.alpha, self.beta)
        daemon.start(lab.document())
        for tenant in self.tenants:
            tenant.only.connect()
        for tenant in self.tenants:
            tenant.only.wait_until_connected()
            tenant.server = tenant.only.serve(certificate=tenant.certificate, name=tenant.name)

    def _tenant(self, port, name, directory):
        tenant = self.lab.tenant(port, name)
        tenant.only = tenant.machine("10.0.0.2/16")
        tenant.host = f"git.{name}.example"
        tenant.pattern = f"*.apps.{name}.example"
        tenant.certificate = make_certificate(directory, name, tenant.host, tenant.pattern)
        for host in (tenant.host, tenant.pattern):
            tenant.proxy[f"http://{host}"] = ["10.0.0.2:80"]
            tenant.proxy[f"https://{host}"] = ["10.0.0.2:443"]
        return tenant

    def answers(self, tenant):
        """Whether the tenant's host answers over both schemes, with its own server."""
        for url in (f"http://{tenant.host}/", f"https://{tenant.host}/"):
            assert curl_json(url, certificate=tenant.certificate)["server"] == tenant.name
        return True

    def wait_until_whole(self, seconds=30):
        for tenant in self.tenants:
            until(lambda tenant=tenant: self.answers(tenant), f"{tenant.name} answers", seconds)

from domicile import Domain, Tenant


class University(Tenant):
    pass


class Hostname(Domain):
    pass

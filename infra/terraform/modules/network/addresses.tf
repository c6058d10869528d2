# Every subnet of a region is a fixed part of its block, so that a region needs one number and parts never overlap.

locals {
  cuts = {
    for region, input in var.regions : region => {
      models_pods      = cidrsubnet(input.cidr, 2, 0)
      workers_pods     = cidrsubnet(input.cidr, 3, 2)
      models_nodes     = cidrsubnet(input.cidr, 6, 24)
      workers_nodes    = cidrsubnet(input.cidr, 6, 25)
      models_services  = cidrsubnet(input.cidr, 6, 26)
      workers_services = cidrsubnet(input.cidr, 6, 27)
      run              = cidrsubnet(input.cidr, 6, 28)
      proxy            = cidrsubnet(input.cidr, 6, 29)
      # A connector takes exactly a /28.
      connector = cidrsubnet(cidrsubnet(input.cidr, 6, 30), 22 - tonumber(split("/", input.cidr)[1]), 0)
      # The second half of the block is free for later.
    }
  }

  # Blocks as numbers, to see which overlap.
  blocks = merge({ for region, input in var.regions : region => input.cidr }, { private_services_cidr = var.private_services_cidr })
  first = {
    for name, cidr in local.blocks : name => try(sum([
      for place, octet in split(".", cidrhost(cidr, 0)) : tonumber(octet) * pow(256, 3 - place)
    ]), 0)
  }
  last  = { for name, cidr in local.blocks : name => local.first[name] + try(pow(2, 32 - tonumber(split("/", cidr)[1])), 1) - 1 }
  names = keys(local.blocks)
  overlaps = flatten([
    for place, one in local.names : [
      for other in slice(local.names, place + 1, length(local.names)) : "${one} and ${other}"
      if local.first[one] <= local.last[other] && local.first[other] <= local.last[one]
    ]
  ])
}

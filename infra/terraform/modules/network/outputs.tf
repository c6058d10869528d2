output "network_id" {
  description = "The VPC."
  value       = google_compute_network.main.id
}

output "private_services_network_id" {
  description = "The VPC again, known only once managed services can have addresses in it: databases take this one."
  value       = google_service_networking_connection.private_services.network
}

output "private_services_range" {
  description = "Name of the range that managed services get their addresses from."
  value       = google_compute_global_address.private_services.name
}

output "egress" {
  description = "By region, how a Cloud Run service reaches the network: one of connector and subnetwork is set."
  value = {
    for region in keys(var.regions) : region => {
      network    = google_compute_network.main.id
      subnetwork = var.serverless_egress == "direct" ? google_compute_subnetwork.main["run-${region}"].id : null
      connector  = var.serverless_egress == "connector" ? google_vpc_access_connector.main[region].id : null
    }
  }
}

output "cluster_networks" {
  description = "By region and cluster (models, workers): network, subnetwork and the names of its ranges."
  value = {
    for region in keys(var.regions) : region => {
      for cluster in ["models", "workers"] : cluster => {
        network        = google_compute_network.main.id
        subnetwork     = google_compute_subnetwork.main["${cluster}-${region}"].id
        pods_range     = "pods"
        services_range = "services"
      }
    }
  }
}

output "pods_cidrs" {
  description = "By region, the addresses of the workers' and the models' pods, for NetworkPolicies."
  value       = { for region, cut in local.cuts : region => { workers = cut.workers_pods, models = cut.models_pods, run = cut.run, proxy = cut.proxy } }
}

output "nat_addresses" {
  description = "By region, the fixed addresses that providers see; empty when Google chooses them."
  value       = { for region in keys(var.regions) : region => [for key, address in google_compute_address.nat : address.address if startswith(key, "${region}-")] }
}

output "internal_zone" {
  description = "Private zone: its name and its domain."
  value       = { name = google_dns_managed_zone.internal.name, domain = var.internal_domain }
}

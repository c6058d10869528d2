# What the clusters need before our own manifests (infra/kubernetes) are applied: operators and the collector. Custom resources are not
# here: Terraform would need their definitions before it can plan.

data "terraform_remote_state" "platform" {
  backend = "gcs"
  config = {
    bucket = var.state_bucket
    prefix = "platform"
  }
}

locals {
  platform = data.terraform_remote_state.platform.outputs
  clusters = try(local.platform.clusters[var.cluster], {})
  endpoint = try(local.clusters[var.region].endpoint, "")
  accounts = local.platform.service_accounts
}

resource "terraform_data" "cluster" {
  input = "${var.region}/${var.cluster}"

  lifecycle {
    precondition {
      condition     = contains(keys(local.clusters), var.region)
      error_message = "The platform has no cluster for ${var.cluster} in ${var.region}; it has them in ${join(", ", keys(local.clusters))}."
    }
  }
}

# Scales workers by what batches wait, and models by what requests wait. One provider of external metrics per cluster: no Stackdriver
# adapter beside it.
resource "helm_release" "keda" {
  name             = "keda"
  repository       = "https://kedacore.github.io/charts"
  chart            = "keda"
  version          = var.charts.keda
  namespace        = "keda"
  create_namespace = true
  atomic           = true
  cleanup_on_fail  = true
  timeout          = 600

  values = [yamlencode({
    serviceAccount = {
      operator = {
        name        = "keda-operator"
        annotations = { "iam.gke.io/gcp-service-account" = local.accounts.keda }
      }
    }
    operator      = { replicaCount = 2 }
    metricsServer = { replicaCount = 2 }
    podDisruptionBudget = {
      operator     = { minAvailable = 1 }
      metricServer = { minAvailable = 1 }
    }
    resources = {
      operator     = { requests = { cpu = "100m", memory = "128Mi" }, limits = { memory = "512Mi" } }
      metricServer = { requests = { cpu = "100m", memory = "128Mi" }, limits = { memory = "512Mi" } }
      webhooks     = { requests = { cpu = "50m", memory = "64Mi" }, limits = { memory = "128Mi" } }
    }
  })]

  depends_on = [terraform_data.cluster]
}

resource "helm_release" "collector" {
  name             = "otel-collector"
  repository       = "https://open-telemetry.github.io/opentelemetry-helm-charts"
  chart            = "opentelemetry-collector"
  version          = var.charts.collector
  namespace        = "observability"
  create_namespace = true
  atomic           = true
  cleanup_on_fail  = true
  timeout          = 600

  values = [
    file("${path.module}/values/collector.yaml"),
    yamlencode({ serviceAccount = { create = true, name = "otel-collector", annotations = { "iam.gke.io/gcp-service-account" = local.accounts.collector } } }),
  ]

  depends_on = [terraform_data.cluster]
}

resource "helm_release" "rabbitmq_operator" {
  count = var.rabbitmq ? 1 : 0

  name             = "rabbitmq-operator"
  repository       = "oci://registry-1.docker.io/cloudpirates"
  chart            = "rabbitmq-cluster-operator"
  version          = var.charts.rabbitmq
  namespace        = "rabbitmq-system"
  create_namespace = true
  atomic           = true
  cleanup_on_fail  = true
  timeout          = 600

  depends_on = [terraform_data.cluster]
}

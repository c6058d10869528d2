# Who is told, and of what.

module "monitoring" {
  source = "../modules/monitoring"

  project_id                = var.project_id
  prefix                    = local.name
  emails                    = var.alert_emails
  load_balancer             = { url_map = module.edge.url_map, backend = module.edge.backend_services["api"] }
  domain                    = var.domains[0]
  database                  = { engine = var.database.engine, instance = local.name, max_connections = var.database.max_connections }
  subscriptions             = concat(values(module.messaging.subscriptions), [module.usage.subscription])
  dead_letter_subscriptions = module.messaging.dead_letter_subscriptions
  availability_goal         = var.availability_goal
  labels                    = local.labels
}

module "budget" {
  source = "../modules/budget"
  count  = var.budget == null ? 0 : 1

  billing_account       = var.budget.billing_account
  project_number        = data.google_project.this.number
  prefix                = local.name
  amount                = var.budget.amount
  currency              = var.budget.currency
  notification_channels = slice(module.monitoring.notification_channels, 0, min(5, length(module.monitoring.notification_channels)))
}

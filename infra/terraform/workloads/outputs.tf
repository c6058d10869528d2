output "releases" {
  description = "What is installed, by name, and in which version."
  value = {
    for release in concat([helm_release.keda, helm_release.collector], helm_release.rabbitmq_operator) : release.name => release.version
  }
}

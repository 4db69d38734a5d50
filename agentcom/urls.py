"""Every path of the hub that is not a socket or git (see sockets.py)."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularJSONAPIView

from apps.agents import api as agents
from apps.agents import endpoints_api as endpoints
from apps.agents import token_api as tokens
from apps.brain import api as brain
from apps.forge import api as pulls
from apps.forge import by_hand_api as by_hand
from apps.forge import repos_api as repos
from apps.gateway import views as gateway
from apps.goals import api as goals
from apps.ops import api as ops
from apps.tasks import api as tasks
from apps.tasks import own_api as own

handler400 = "agentcom.errors.bad_request"
handler403 = "agentcom.errors.forbidden"
handler404 = "agentcom.errors.not_found"
handler500 = "agentcom.errors.failed"

api = [
    path("health", gateway.Health.as_view(), name="health"),
    path("schemas", gateway.Schemas.as_view(), name="schemas"),
    path("schemas/<str:name>", gateway.DocumentSchema.as_view(), name="document_schema"),
    path("openapi.json", SpectacularJSONAPIView.as_view(), name="openapi"),
    path("enrol", agents.Enrol.as_view(), name="enrol"),
    path("tasks", tasks.Tasks.as_view(), name="api_tasks"),
    path("tasks/<int:pk>", tasks.OneTask.as_view(), name="api_task"),
    path("tasks/<int:pk>/cancel", tasks.CancelTask.as_view(), name="api_task_cancel"),
    path("tasks/<int:pk>/retry", tasks.RetryTask.as_view(), name="api_task_retry"),
    path("tasks/<int:pk>/history", tasks.TaskHistory.as_view(), name="api_task_history"),
    path("tasks/<int:pk>/progress", tasks.TaskProgress.as_view(), name="api_task_progress"),
    path("tasks/<int:pk>/trajectory", tasks.TaskTrajectory.as_view(), name="api_task_trajectory"),
    path("tasks/<int:pk>/prerequisites", tasks.Prerequisites.as_view(), name="api_task_prerequisites"),
    path(
        "tasks/<int:pk>/prerequisites/<int:prerequisite>",
        tasks.OnePrerequisite.as_view(),
        name="api_task_prerequisite",
    ),
    path("goals", goals.Goals.as_view(), name="api_goals"),
    path("goals/<int:pk>", goals.OneGoal.as_view(), name="api_goal"),
    path("goals/<int:pk>/approve", goals.ApproveGoal.as_view(), name="api_goal_approve"),
    path("goals/<int:pk>/cancel", goals.CancelGoal.as_view(), name="api_goal_cancel"),
    path("goals/<int:pk>/go-on", goals.GoOn.as_view(), name="api_goal_go_on"),
    path("goals/<int:pk>/resubmit", goals.ResubmitGoal.as_view(), name="api_goal_resubmit"),
    path("goals/<int:pk>/plan", goals.GoalPlan.as_view(), name="api_goal_plan"),
    path("goals/<int:pk>/history", goals.GoalHistory.as_view(), name="api_goal_history"),
    path("goals/<int:pk>/goal.xml", goals.GoalDocument.as_view(), name="api_goal_document"),
    path("goals/<int:pk>/plan.xml", goals.PlanDocument.as_view(), name="api_goal_plan_document"),
    path("agents", agents.Agents.as_view(), name="api_agents"),
    path("agents/enrolment-codes", agents.EnrolmentCodes.as_view(), name="api_enrolment_codes"),
    path("agents/<slug:name>", agents.OneAgent.as_view(), name="api_agent"),
    path("agents/<slug:name>/pause", agents.PauseAgent.as_view(), name="api_agent_pause"),
    path("agents/<slug:name>/resume", agents.ResumeAgent.as_view(), name="api_agent_resume"),
    path("agents/<slug:name>/restart", agents.RestartAgent.as_view(), name="api_agent_restart"),
    path("agents/<slug:name>/retire", agents.RetireAgent.as_view(), name="api_agent_retire"),
    path("endpoints", endpoints.Endpoints.as_view(), name="api_endpoints"),
    path("endpoints/<int:pk>", endpoints.OneEndpoint.as_view(), name="api_endpoint"),
    path("endpoints/<int:pk>/drain", endpoints.DrainEndpoint.as_view(), name="api_endpoint_drain"),
    path("endpoints/<int:pk>/resume", endpoints.ResumeEndpoint.as_view(), name="api_endpoint_resume"),
    path("endpoints/<int:pk>/restart", endpoints.RestartEndpoint.as_view(), name="api_endpoint_restart"),
    path("endpoints/<int:pk>/look", endpoints.LookAtEndpoint.as_view(), name="api_endpoint_look"),
    path("hosts", endpoints.Hosts.as_view(), name="api_hosts"),
    path("agent/tasks", own.OwnTasks.as_view(), name="api_own_tasks"),
    path("agent/tasks/<int:pk>", own.OwnTask.as_view(), name="api_own_task"),
    path("agent/pulls", by_hand.Places.as_view(), name="api_places"),
    path("agent/pulls/<int:pk>/pushed", by_hand.Pushed.as_view(), name="api_place_pushed"),
    path("repos", repos.Repos.as_view(), name="api_repos"),
    path("repos/<str:slug>", repos.OneRepo.as_view(), name="api_repo"),
    path("repos/<str:slug>/sync", repos.SyncRepo.as_view(), name="api_repo_sync"),
    path("brain", brain.OneBrain.as_view(), name="api_brain"),
    path("brain/history", brain.BrainHistory.as_view(), name="api_brain_history"),
    path("brain/snapshot.xml", brain.BrainSnapshot.as_view(), name="api_brain_snapshot"),
    path("brain/pause", brain.PauseBrain.as_view(), name="api_brain_pause"),
    path("brain/resume", brain.ResumeBrain.as_view(), name="api_brain_resume"),
    path("pulls", pulls.Pulls.as_view(), name="api_pulls"),
    path("pulls/<int:pk>", pulls.OnePull.as_view(), name="api_pull"),
    path("pulls/<int:pk>/diff", pulls.PullDiff.as_view(), name="api_pull_diff"),
    path("pulls/<int:pk>/evidence", pulls.PullEvidence.as_view(), name="api_pull_evidence"),
    path("pulls/<int:pk>/comments", pulls.Comments.as_view(), name="api_pull_comments"),
    path("pulls/<int:pk>/approve", pulls.Approve.as_view(), name="api_pull_approve"),
    path("pulls/<int:pk>/request-changes", pulls.RequestChanges.as_view(), name="api_pull_request_changes"),
    path("pulls/<int:pk>/merge", pulls.Merge.as_view(), name="api_pull_merge"),
    path("pulls/<int:pk>/close", pulls.Close.as_view(), name="api_pull_close"),
    path("pulls/<int:pk>/verify", pulls.Verify.as_view(), name="api_pull_verify"),
    path("health/report", ops.HealthReportView.as_view(), name="api_health_report"),
    path("healing", ops.Healings.as_view(), name="api_healing"),
    path("alerts", ops.Alerts.as_view(), name="api_alerts"),
    path("alerts/<int:pk>/acknowledge", ops.AcknowledgeAlert.as_view(), name="api_alert_acknowledge"),
    path("tokens", tokens.Tokens.as_view(), name="api_tokens"),
    path("tokens/<int:pk>/rotate", tokens.RotateToken.as_view(), name="api_token_rotate"),
    path("tokens/<int:pk>/revoke", tokens.RevokeToken.as_view(), name="api_token_revoke"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/", include(api)),
    path("admin/", admin.site.urls),
    path("", include("apps.dashboard.urls")),
]
